const LIMIT_MS = 40_000;
const LOOK_AGAIN_MS = 5;

/** Resolves when it holds; looks again and again, and says in vain for what. For what no event tells of. */
export async function until(
  what: string,
  holds: () => boolean | Promise<boolean>,
  { limitMs = LIMIT_MS, everyMs = LOOK_AGAIN_MS } = {},
): Promise<void> {
  const deadline = performance.now() + limitMs;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`waited in vain for ${what}`);
    await Bun.sleep(everyMs);
  }
}

/** Reads on until this was said. */
export async function untilSaid(stream: ReadableStream<Uint8Array>, what: RegExp): Promise<void> {
  let said = "";
  const decoder = new TextDecoder();
  for await (const chunk of stream) {
    said += decoder.decode(chunk, { stream: true });
    if (what.test(said)) return;
  }
  throw new Error(`it ended without that: ${said}`);
}
