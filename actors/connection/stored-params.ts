import type { StickyParams } from "#src/protocol/sticky.ts";
import { EMPTY_PARAMS } from "#src/protocol/sticky.ts";

/** Parameter sets by the response from which they count; one more than can be unacknowledged is kept. */
const MAX_VERSIONS = 9;

interface ParamsVersion {
  seq: number;
  params: StickyParams;
  /** The response that was the first to be made from them, where that is a later one. */
  servedSeq?: number;
}

/** Parameters in force, and whether the response in question, or one before it, was made from them. */
export interface ParamsInForce {
  params: StickyParams;
  isServed: boolean;
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
    const versions = Array.isArray(parsed) ? (parsed as ParamsVersion[]) : [];
    return new ParamsHistory(versions.map((version) => withAllExtensions(version)));
  }

  /** Parameters in force at response `seq`; null when they are not known any more. */
  at(seq: number): ParamsInForce | null {
    const version = this.#versions.findLast((each) => each.seq <= seq);
    if (version !== undefined) return { params: version.params, isServed: (version.servedSeq ?? version.seq) <= seq };
    return seq === 0 ? { params: EMPTY_PARAMS, isServed: true } : null;
  }

  /**
   * Records the parameters of response `seq`; versions older than what is acknowledged go. Returns true when new.
   *
   * `answerSeq`: the response the client is given, an older one when that was still unacknowledged. A client that goes on
   * from there takes its request as heard, so the parameters count from that response on.
   */
  record(seq: number, params: StickyParams, ackedSeq: number, answerSeq = seq): boolean {
    if (this.#versions.at(-1)?.params === params) return false;
    this.#versions = this.#versions.filter((version) => version.seq < answerSeq);
    this.#versions.push({ seq: answerSeq, params, ...(answerSeq === seq ? {} : { servedSeq: seq }) });
    while (this.#versions.length > 1 && (this.#versions[1]?.seq ?? 0) <= ackedSeq) this.#versions.shift();
    if (this.#versions.length > MAX_VERSIONS) this.#versions.shift();
    return true;
  }

  stringify(): string {
    return JSON.stringify(this.#versions);
  }
}

/** What an earlier version stored may lack extensions that it did not know. */
function withAllExtensions(version: ParamsVersion): ParamsVersion {
  const extensions = { ...EMPTY_PARAMS.extensions, ...version.params.extensions };
  return { ...version, params: { ...version.params, extensions } };
}
