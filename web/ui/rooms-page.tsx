import { useState } from "preact/hooks";
import type { AppState } from "../session/app-state.ts";
import type { Client } from "../session/client.ts";
import { Icon, type IconName } from "./icon.tsx";
import { ListPane } from "./list-pane.tsx";
import { RoomPane } from "./room-pane.tsx";
import { WirePane } from "./wire-pane.tsx";

/** Where there is room for one only. */
export type Pane = "list" | "room" | "wire";

const PANES: readonly { name: Pane; label: string; icon: IconName }[] = [
  { name: "list", label: "Rooms", icon: "rooms" },
  { name: "room", label: "Room", icon: "people" },
  { name: "wire", label: "Wire", icon: "wire" },
];

/** The room list, a room, and what goes over the wire for them. */
export function RoomsPage({ state, client }: { state: AppState; client: Client }) {
  const [pane, setPane] = useState<Pane>("list");
  const openRoom = client.query.value.openRoom;
  return (
    <main id="main" class="rooms" data-pane={pane} tabIndex={-1}>
      <h1 class="visually-hidden">Rooms of {client.account.userId}</h1>
      <ListPane
        client={client}
        now={() => state.browser.now()}
        onOpen={(roomId) => {
          client.open(roomId);
          setPane("room");
        }}
      />
      <RoomPane
        key={openRoom ?? ""}
        client={client}
        onBack={() => {
          client.open(null);
          setPane("list");
        }}
      />
      <WirePane state={state} client={client} />
      <nav class="panes" aria-label="Parts of this page">
        {PANES.map(({ name, label, icon }) => (
          <button key={name} type="button" aria-pressed={pane === name} onClick={() => setPane(name)}>
            <Icon name={icon} />
            {label}
          </button>
        ))}
      </nav>
    </main>
  );
}
