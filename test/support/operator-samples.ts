import type { FirstSyncView, Page, QuarantineView, SlowRequestView } from "#src/admin/api.ts";

/** What a calm server has nothing of, made up; `nowMs` is when it is looked at. */
export function operatorSamples(nowMs: number): Readonly<Record<string, unknown>> {
  const firstSync = { host: "poller:0", deviceId: "PHONE", failures: 0 };
  const firstSyncs: Page<FirstSyncView> = {
    items: [
      {
        ...firstSync,
        userId: "@dana:localhost",
        state: "storing",
        startedAtMs: nowMs - 9000,
        progress: { roomsDone: 1480, roomsTotal: 2310, bytesDone: 61_000_000, bytesTotal: 94_000_000 },
      },
      { ...firstSync, userId: "@emil:localhost", state: "polling", startedAtMs: nowMs - 41_000, progress: null },
      {
        ...firstSync,
        userId: "@goro:localhost",
        state: "queued",
        startedAtMs: nowMs - 3000,
        failures: 2,
        progress: null,
      },
    ],
    next: null,
  };
  const quarantine: Page<QuarantineView> = {
    items: [
      {
        id: 2,
        seenAtMs: nowMs - 60_000,
        userId: "@dana:localhost",
        deviceId: "PHONE",
        roomId: "!old:localhost",
        section: "timeline",
        reason: "event without type",
      },
    ],
    next: null,
  };
  const slow = { dialect: "simplified", status: 200, userId: "@dana:localhost", deviceId: "PHONE", connId: "main" };
  const slowRequests: SlowRequestView[] = [
    {
      ...slow,
      endedAtMs: nowMs - 20_000,
      traceId: "0af7651916cd43dd8448eb211c80319c",
      isInitial: true,
      durationMs: 2730,
      phases: [
        { name: "token", ms: 25 },
        { name: "setup", ms: 2610 },
        { name: "work", ms: 95 },
      ],
      rooms: 20,
      bytes: 23_400,
    },
    {
      ...slow,
      endedAtMs: nowMs - 95_000,
      traceId: null,
      isInitial: false,
      durationMs: 12_900,
      phases: [
        { name: "waiting", ms: 12_100 },
        { name: "work", ms: 800 },
      ],
      rooms: 3,
      bytes: 9100,
    },
  ];
  return { "first-syncs": firstSyncs, quarantine, "slow-requests": slowRequests };
}
