import { until } from "./until.ts";

const IN_FLIGHT = /^sliding_sync_api_requests_in_flight (.+)$/mu;

/** Resolves when so many sync requests wait for their answers, as the metrics of a running server tell at this URL. */
export async function untilInFlight(url: string, count: number): Promise<void> {
  const inFlight = async (): Promise<number> => Number(IN_FLIGHT.exec(await (await fetch(url)).text())?.[1]);
  await until(`${count} requests in flight`, async () => (await inFlight()) === count, { everyMs: 20 });
}
