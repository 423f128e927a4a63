import type { StickyParams } from "#src/protocol/sticky.ts";
import { EMPTY_PARAMS } from "#src/protocol/sticky.ts";

/** Parameter sets by the response from which they count; one more than can be unacknowledged is kept. */
const MAX_VERSIONS = 9;

interface ParamsVersion {
  seq: number;
  params: StickyParams;
}

/**
 * Sticky parameters as they were at each response that is not known to have arrived. A client that comes back with
 * an older `pos` repeats the changes it made since, so it is given the parameters of that `pos`, not the latest.
 */
export class ParamsHistory {
  #versions: ParamsVersion[];

  constructor(versions: ParamsVersion[] = []) {
    this.#versions = versions;
  }

  static parse(text: string): ParamsHistory {
    const parsed: unknown = JSON.parse(text);
    return new ParamsHistory(Array.isArray(parsed) ? (parsed as ParamsVersion[]) : []);
  }

  /** Parameters in force at response `seq`; null when they are not known any more. */
  at(seq: number): StickyParams | null {
    let found: StickyParams | null = seq === 0 ? EMPTY_PARAMS : null;
    for (const version of this.#versions) if (version.seq <= seq) found = version.params;
    return found;
  }

  /** Records the parameters of response `seq`; versions older than what is acknowledged go. Returns true when new. */
  record(seq: number, params: StickyParams, ackedSeq: number): boolean {
    if (this.#versions.at(-1)?.params === params) return false;
    this.#versions.push({ seq, params });
    while (this.#versions.length > 1 && (this.#versions[1]?.seq ?? 0) <= ackedSeq) this.#versions.shift();
    if (this.#versions.length > MAX_VERSIONS) this.#versions.shift();
    return true;
  }

  stringify(): string {
    return JSON.stringify(this.#versions);
  }
}
