import { until } from "./until.ts";

/** Resolves when the page of a running server says that a metric without labels has this value. */
export async function untilMetric(url: string, name: string, value: number): Promise<void> {
  const line = new RegExp(`^${name} (.+)$`, "mu");
  await until(`${name} to be ${value}`, async () => Number(line.exec(await (await fetch(url)).text())?.[1]) === value, {
    everyMs: 20,
  });
}

/** Resolves when so many sync requests wait for their answers. */
export const untilInFlight = (url: string, count: number): Promise<void> =>
  untilMetric(url, "sliding_sync_api_requests_in_flight", count);
