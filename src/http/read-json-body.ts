import { SyncError } from "#src/errors.ts";
import type { Timers } from "#src/ports/basics.ts";
import { parseRequestJson, parseStrictJson } from "#src/protocol/request-json.ts";

/** Largest request body: a thousand subscriptions with long room ids stay far below. */
export const BODY_LIMIT_BYTES = 1024 * 1024;
/** A body that dribbles in longer than this is given up. */
export const BODY_DEADLINE_MS = 30_000;

const tooLarge = (): SyncError => new SyncError("too_large", `request body is larger than ${BODY_LIMIT_BYTES} bytes`);

/** The body of a request as JSON; read loosely, none at all and `null` are an empty object. */
export async function readJsonBody(request: Request, timers: Timers, isLoose: boolean): Promise<unknown> {
  const text = await readBodyText(request, timers);
  if (isLoose) return text === "" ? {} : parseRequestJson(text);
  if (text === "") throw new SyncError("not_json", "request body is empty");
  return parseStrictJson(text);
}

/** The body of a request as text, within the limits of its size and time; empty without one. */
export async function readBodyText(request: Request, timers: Timers): Promise<string> {
  const declared = request.headers.get("content-length");
  // `request.body` makes a stream of the body, for good: not touched where the length is known.
  const chunks = declared === null ? request.body : null;
  if (declared === "0" || (declared === null && chunks === null)) return "";
  if (declared !== null && Number(declared) > BODY_LIMIT_BYTES) throw tooLarge();
  const late = Promise.withResolvers<never>();
  const cancel = timers.after(BODY_DEADLINE_MS, () =>
    late.reject(new SyncError("not_json", "request body did not arrive in time")),
  );
  try {
    return await Promise.race([chunks === null ? readWhole(request) : readChunks(chunks), late.promise]);
  } finally {
    cancel();
  }
}

async function readWhole(request: Request): Promise<string> {
  try {
    return await request.text();
  } catch (error) {
    throw new SyncError("client_gone", "request body ended early", { cause: error });
  }
}

/** Without a declared length the bytes are counted as they come. */
async function readChunks(body: ReadableStream<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  let received = 0;
  try {
    for await (const chunk of body) {
      received += chunk.byteLength;
      if (received > BODY_LIMIT_BYTES) throw tooLarge();
      text += decoder.decode(chunk, { stream: true });
    }
  } catch (error) {
    if (error instanceof SyncError) throw error;
    throw new SyncError("client_gone", "request body ended early", { cause: error });
  }
  return text + decoder.decode();
}
