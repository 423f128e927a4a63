import { useState } from "preact/hooks";
import type { AuditView, Overview, Page, ResyncRequest, ResyncView } from "#src/admin/api.ts";
import { agoText, countText } from "../model/format.ts";
import type { Outcome } from "../session/homeserver.ts";
import type { AdminApi, Download } from "./admin-api.ts";
import { Progress } from "./charts.tsx";
import { ConfirmedButton } from "./confirmed-button.tsx";
import { Await, type PageProps, Section, Table } from "./parts.tsx";
import { saveFile } from "./save-file.ts";
import { type Live, useLive } from "./use-live.ts";

const EVERY_MS = 3000;
const PROFILE_SECS = 10;

/** What an operator can have done, and what operators did. */
export function ActionsPage({ api, now }: PageProps) {
  const resyncs = useLive<ResyncView[]>(api, "/resyncs", EVERY_MS);
  const audit = useLive<Page<AuditView>>(api, "/audit", EVERY_MS);
  return (
    <>
      <Section title="Compare with the homeserver" note="what differs is put right; nothing is disconnected">
        <ResyncForm api={api} onDone={resyncs.refresh} />
        <Resyncs live={resyncs} nowMs={now()} />
      </Section>
      <Section title="Profiles" note="open in the developer tools of Chromium">
        <Profiles api={api} onDone={audit.refresh} />
      </Section>
      <Section title="What operators did">
        <Await live={audit}>
          {({ items }) => (
            <Table
              label="What operators did"
              rows={items}
              keyOf={({ id }) => String(id)}
              empty="Nothing yet."
              columns={[
                { name: "When", show: ({ atMs }) => agoText(atMs, now()) },
                { name: "Action", show: ({ action }) => action },
                { name: "Target", show: ({ target }) => target || "–" },
                { name: "From", show: ({ remote }) => remote || "–" },
                { name: "Result", show: ({ result }) => result },
              ]}
            />
          )}
        </Await>
      </Section>
    </>
  );
}

function ResyncForm({ api, onDone }: { api: AdminApi; onDone: () => void }) {
  const [kind, setKind] = useState<ResyncRequest["kind"]>("room");
  const [target, setTarget] = useState("");
  const what = kind === "all" ? "all rooms" : `${kind} ${target.trim()}`;
  return (
    <div class="inline-form">
      <label>
        What
        <select value={kind} onChange={(event) => setKind(kindOf(event.currentTarget.value))}>
          <option value="room">a room</option>
          <option value="user">a user</option>
          <option value="all">everything</option>
        </select>
      </label>
      {kind !== "all" && (
        <label class="grow">
          {kind === "room" ? "Room id" : "User id"}
          <input
            placeholder={kind === "room" ? "!room:server" : "@user:server"}
            spellcheck={false}
            value={target}
            onInput={(event) => setTarget(event.currentTarget.value)}
          />
        </label>
      )}
      <ConfirmedButton
        name="Compare"
        question={`Compare ${what} with the homeserver? It is asked for the state of every room concerned.`}
        act={() => api.resync({ kind, target: kind === "all" ? "" : target.trim() })}
        onDone={onDone}
      />
    </div>
  );
}

function Resyncs({ live, nowMs }: { live: Live<ResyncView[]>; nowMs: number }) {
  return (
    <Await live={live}>
      {(items) => (
        <Table
          label="Comparisons"
          rows={items}
          keyOf={({ id }) => String(id)}
          empty="None was asked for."
          columns={[
            { name: "Asked", show: ({ askedAtMs }) => agoText(askedAtMs, nowMs) },
            { name: "What", show: ({ kind, target }) => (kind === "all" ? "everything" : target) },
            {
              name: "Progress",
              show: ({ id, done, total, endedAtMs }) => (
                <span class="measured">
                  <Progress
                    done={endedAtMs === null ? done : 1}
                    total={endedAtMs === null ? total : 1}
                    label={`Comparison ${id}`}
                  />
                  <span class="number">
                    {countText(done)} of {countText(total)}
                  </span>
                </span>
              ),
            },
            { name: "Failed", isNumber: true, show: ({ failed }) => countText(failed) },
          ]}
        />
      )}
    </Await>
  );
}

function Profiles({ api, onDone }: { api: AdminApi; onDone: () => void }) {
  const [host, setHost] = useState("main:0");
  const overview = useLive<Overview>(api, "/overview", EVERY_MS);
  const hosts = overview.value?.hosts.map((known) => known.host) ?? ["main:0"];
  const save = async (made: Promise<Outcome<Download>>): Promise<string | null> => {
    const outcome = await made;
    if ("failure" in outcome) return outcome.failure;
    saveFile(outcome.value.name, outcome.value.content);
    return null;
  };
  return (
    <div class="inline-form">
      <label>
        Host
        <select value={host} onChange={(event) => setHost(event.currentTarget.value)}>
          {hosts.map((name) => (
            <option key={name}>{name}</option>
          ))}
        </select>
      </label>
      <ConfirmedButton
        name="CPU profile"
        question={`Sample ${host} for ${PROFILE_SECS} seconds? It is a little slower meanwhile.`}
        act={() => save(api.profileCpu(host, PROFILE_SECS))}
        onDone={onDone}
      />
      <ConfirmedButton
        name="Heap snapshot"
        isDangerous
        question={`Write down the memory of ${host}? Its thread stands still meanwhile, and the process needs six times that memory. The file may hold what users wrote, and access tokens.`}
        act={() => save(api.snapshotHeap(host))}
        onDone={onDone}
      />
    </div>
  );
}

const kindOf = (text: string): ResyncRequest["kind"] => (text === "user" || text === "all" ? text : "room");
