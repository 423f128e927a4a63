import { withoutCancelled } from "#src/protocol/key-requests.ts";
import type { PollBatch } from "#src/protocol/poll-batch.ts";
import type { GroupDraft } from "./group-draft.ts";
import { pollerKey } from "./ingest-context.ts";

/** What concerns one device alone: to-device messages, device lists, key counts. */
export function reduceDevice(group: GroupDraft, batch: PollBatch, drafts: DeviceDrafts): void {
  const { userId, deviceId } = batch;
  // A batch that was committed by an earlier incarnation, which could no longer say so, comes again.
  const isRepeated =
    batch.since !== null && batch.since !== "" && batch.since === group.context.resumedSince(userId, deviceId);
  for (const message of isRepeated ? [] : withoutCancelled(batch.toDevice, () => true)) {
    const pos = group.nextPos();
    group.tx.toDevice.push({ ...message, userId, deviceId, pos });
    group.users.touchToDevice(userId, deviceId, pos);
  }
  drafts.add(batch);
}

/** Device lists and key counts of a group: the last word for each. */
export class DeviceDrafts {
  readonly #batches = new Map<string, { batch: PollBatch; targets: Map<string, "changed" | "left"> }>();
  readonly #keys = new Map<string, Pick<PollBatch, "userId" | "deviceId" | "otkCounts" | "fallbackKeyTypes">>();

  add(batch: PollBatch): void {
    const key = pollerKey(batch.userId, batch.deviceId);
    if (batch.deviceListsChanged.length > 0 || batch.deviceListsLeft.length > 0) {
      const draft = this.#batches.get(key) ?? { batch, targets: new Map<string, "changed" | "left">() };
      for (const target of batch.deviceListsLeft) draft.targets.set(target, "left");
      // Left and met again within one poll: what counts is that the devices may have changed.
      for (const target of batch.deviceListsChanged) draft.targets.set(target, "changed");
      this.#batches.set(key, draft);
    }
    if (batch.otkCounts === null && batch.fallbackKeyTypes === null) return;
    const before = this.#keys.get(key);
    this.#keys.set(key, {
      userId: batch.userId,
      deviceId: batch.deviceId,
      otkCounts: batch.otkCounts ?? before?.otkCounts ?? null,
      fallbackKeyTypes: batch.fallbackKeyTypes ?? before?.fallbackKeyTypes ?? null,
    });
  }

  finish(group: GroupDraft): void {
    for (const { batch, targets } of this.#batches.values()) {
      const { userId, deviceId } = batch;
      for (const [target, change] of targets) {
        const pos = group.nextPos();
        group.tx.deviceLists.push({ userId, deviceId, target, change, pos });
        group.users.touchDevice(userId, deviceId, pos);
      }
    }
    for (const { userId, deviceId, otkCounts, fallbackKeyTypes } of this.#keys.values()) {
      const known = group.context.deviceKeys(userId, deviceId);
      const otkChange = otkCounts === known?.otkCounts ? null : otkCounts;
      const fallbackChange = fallbackKeyTypes === known?.fallbackKeyTypes ? null : fallbackKeyTypes;
      if (otkChange === null && fallbackChange === null) continue;
      const pos = group.nextPos();
      group.tx.deviceKeys.push({ userId, deviceId, otkCounts: otkChange, fallbackKeyTypes: fallbackChange, pos });
      group.users.touchDevice(userId, deviceId, pos);
    }
  }
}
