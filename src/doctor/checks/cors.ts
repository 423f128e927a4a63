import type { Finding } from "../finding.ts";
import { finding, orGood } from "../finding.ts";
import { adviceFor } from "../advice.ts";
import type { OutsideAnswer } from "../outside.ts";
import { PAGE_ORIGIN } from "../patient.ts";
import type { ProxyKind } from "../proxy-kind.ts";

/** How many answers say which origins may read them: none, one, or more than browsers take. */
type CorsState = "right" | "missing" | "doubled" | "closed";

/** What a browser makes of an answer's CORS header. */
export function corsOf({ headers }: Pick<OutsideAnswer, "headers">): CorsState {
  const values = (headers.get("access-control-allow-origin") ?? []).flatMap((value) => value.split(","));
  if (values.length === 0) return "missing";
  if (values.length > 1) return "doubled";
  const value = values[0]?.trim();
  return value === "*" || value === PAGE_ORIGIN ? "right" : "closed";
}

/** An answer and what it was an answer to. */
export interface NamedAnswer {
  what: string;
  answer: Pick<OutsideAnswer, "headers">;
}

const TEXTS: Readonly<Record<Exclude<CorsState, "right">, string>> = {
  missing: "no Access-Control-Allow-Origin: web clients cannot read it",
  doubled: "Access-Control-Allow-Origin is there more than once: web clients refuse it",
  closed: "Access-Control-Allow-Origin is not *: web clients on other names cannot read it",
};

/** One finding for each way in which answers are wrong. */
export function judgeCors(answers: readonly NamedAnswer[], proxy: ProxyKind | null): readonly Finding[] {
  const findings = (["missing", "doubled", "closed"] as const).flatMap((state) => {
    const whose = answers.filter(({ answer }) => corsOf(answer) === state).map(({ what }) => what);
    if (whose.length === 0) return [];
    return [finding("cors", "fail", `${whose.join(", ")}: ${TEXTS[state]}`, adviceFor("cors", proxy))];
  });
  return orGood(findings, "cors", "web clients may read every answer, and are told so once");
}
