/** Who is in which room on the made-up homeserver; both sides of the bench derive the same answer from it. */
export type Topology = {
  /** Accounts that have a device and can sync. */
  readonly users: number;
  readonly rooms: number;
  readonly usersPerRoom: number;
  /** Members without a device: they only fill member lists. */
  readonly othersPerRoom: number;
  /** Messages of each room in its first sync. */
  readonly messages: number;
};

/** The accounts in one room; every account ends up in about the same number of rooms. */
export function usersOfRoom({ users, usersPerRoom }: Topology, room: number): number[] {
  // Blocks that drift a little with each lap, so that rooms do not all have the same neighbours.
  const first = room * usersPerRoom + Math.floor((room * usersPerRoom) / users) * 7;
  return Array.from({ length: usersPerRoom }, (_, index) => (first + index) % users);
}

/** For each account the rooms it is in, ascending. */
export function roomsOfUsers(topology: Topology): number[][] {
  const rooms: number[][] = Array.from({ length: topology.users }, () => []);
  for (let room = 0; room < topology.rooms; room += 1) {
    for (const user of usersOfRoom(topology, room)) rooms[user]?.push(room);
  }
  return rooms;
}

/** The room id both sides use for a room number. */
export function roomIdOf(room: number): string {
  return `!room${String(room).padStart(6, "0")}:bench.test`;
}

/** The user id of an account. */
export function userIdOf(user: number): string {
  return `@user${user}:bench.test`;
}

/** The access token of an account's only device. */
export function tokenOf(user: number): string {
  return `bench_token_${user}`;
}
