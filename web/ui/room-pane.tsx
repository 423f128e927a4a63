import { useEffect, useState } from "preact/hooks";
import { membersOf, type Room } from "../model/room.ts";
import type { Client } from "../session/client.ts";
import { Avatar } from "./avatar.tsx";
import { Composer } from "./composer.tsx";
import { Icon } from "./icon.tsx";
import { Timeline } from "./timeline.tsx";

/** The room that is open, or a word about what to do. */
export function RoomPane({ client, onBack }: { client: Client; onBack: () => void }) {
  const [failure, setFailure] = useState<string | null>(null);
  const [showsMembers, setShowsMembers] = useState(false);
  const roomId = client.query.value.openRoom;
  // Drawn anew with each response.
  const room = client.revision.value > 0 && roomId !== null ? client.room(roomId) : undefined;
  if (room === undefined) {
    return (
      <section class="pane room-pane" aria-label="Room">
        <div class="empty">
          <Icon name="rooms" />
          <p>Choose a room to see its messages.</p>
        </div>
      </section>
    );
  }
  const attempt = (work: Promise<string | null>): void => {
    void work.then(setFailure);
  };
  return (
    <section class="pane room-pane" aria-label={`Room ${room.name}`}>
      <RoomHead
        room={room}
        showsMembers={showsMembers}
        onBack={onBack}
        onMembers={() => {
          client.wantMembers();
          setShowsMembers(!showsMembers);
        }}
        onRead={() => attempt(client.markRead(room.id))}
      />
      <p class="notice bad" role="alert" hidden={failure === null}>
        {failure}
      </p>
      {room.isInvite ? (
        <Invitation
          room={room}
          onAccept={() => attempt(client.join(room.id))}
          onDecline={() => {
            attempt(client.leave(room.id));
            onBack();
          }}
        />
      ) : (
        <div class="room-body">
          <div class="room-talk">
            <Timeline client={client} room={room} onFailure={setFailure} />
            <Composer isEncrypted={room.isEncrypted} send={(body) => void client.send(room.id, body)} />
          </div>
          {showsMembers && <Members room={room} hasAll={client.query.value.wantsMembers} />}
        </div>
      )}
    </section>
  );
}

interface HeadProps {
  room: Room;
  showsMembers: boolean;
  onBack: () => void;
  onMembers: () => void;
  onRead: () => void;
}

function RoomHead({ room, showsMembers, onBack, onMembers, onRead }: HeadProps) {
  const [told, setTold] = useState("");
  useEffect(() => setTold(`Room ${room.name}`), [room.id]);
  return (
    <header class="room-head">
      <button type="button" class="quiet narrow-only" aria-label="Back to the list" onClick={onBack}>
        <Icon name="back" />
      </button>
      <Avatar id={room.id} name={room.name} isSquare={room.isSpace} />
      <div class="room-title">
        <h2>{room.name}</h2>
        <p class="muted small">{room.topic === "" ? room.id : room.topic}</p>
      </div>
      <span class="visually-hidden" role="status">
        {told}
      </span>
      {room.isEncrypted && <span class="tag">encrypted</span>}
      {!room.isInvite && (
        <>
          {room.notificationCount > 0 && (
            <button type="button" class="quiet" aria-label="Mark as read" title="Mark as read" onClick={onRead}>
              <Icon name="read" />
            </button>
          )}
          <button type="button" class="quiet" aria-pressed={showsMembers} onClick={onMembers}>
            <Icon name="people" />
            {room.joinedCount > 0 ? room.joinedCount : ""}
            <span class="visually-hidden">Members</span>
          </button>
        </>
      )}
    </header>
  );
}

function Invitation({ room, onAccept, onDecline }: { room: Room; onAccept: () => void; onDecline: () => void }) {
  return (
    <div class="empty">
      <p>{room.inviter === null ? "You are invited to this room." : `${room.inviter} invites you to this room.`}</p>
      <div class="buttons">
        <button type="button" class="button" onClick={onAccept}>
          Accept
        </button>
        <button type="button" class="button secondary" onClick={onDecline}>
          Decline
        </button>
      </div>
    </div>
  );
}

function Members({ room, hasAll }: { room: Room; hasAll: boolean }) {
  const members = membersOf(room);
  return (
    <section class="members" aria-label="Members" tabIndex={0}>
      <h3>
        {members.length} {hasAll ? "members" : "seen"}
      </h3>
      <ul>
        {members.map(({ userId, name, membership }) => (
          <li key={userId}>
            <Avatar id={userId} name={name} />
            <span class="member-text">
              <span>{name}</span>
              <span class="muted small">{membership === "invite" ? "invited" : userId}</span>
            </span>
          </li>
        ))}
      </ul>
    </section>
  );
}
