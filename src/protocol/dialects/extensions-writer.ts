import type { ByteWriter } from "../byte-writer.ts";
import type { ExtensionsBody } from "../engine/extensions-body.ts";
import { writeArray, writeEvents, writeMap } from "./response-writer.ts";

type ExtensionName = "to_device" | "e2ee" | "account_data" | "receipts" | "typing" | "sticky_events";

/** Writes what extensions say; what is empty in them is left out, or told where the dialect always tells it. */
export function writeExtensions(out: ByteWriter, body: ExtensionsBody, tellsEmpty: boolean): void {
  const { toDevice, e2ee, accountData, receipts, typing, sticky, names } = body;
  let separator = "{";
  const key = (name: ExtensionName): void => {
    out.text(`${separator}${JSON.stringify(names?.[name] ?? name)}:`);
    separator = ",";
  };
  if (toDevice !== undefined) {
    key("to_device");
    out.text(`{"next_batch":${JSON.stringify(toDevice.nextBatch)}`);
    if (tellsEmpty || toDevice.events.length > 0) writeEvents(out, "events", toDevice.events);
    out.text("}");
  }
  if (e2ee !== undefined) {
    key("e2ee");
    out.text(e2eeJson(e2ee, tellsEmpty));
  }
  if (accountData !== undefined) {
    key("account_data");
    writeAccountData(out, accountData, tellsEmpty);
  }
  if (receipts !== undefined) {
    key("receipts");
    writeRooms(out, receipts, (edu) => out.text(edu));
  }
  if (typing !== undefined) {
    key("typing");
    writeRooms(out, typing, (edu) => out.bytes(edu));
  }
  if (sticky !== undefined) {
    key("sticky_events");
    out.text(`{"next_batch":${JSON.stringify(sticky.nextBatch)},"rooms":`);
    writeMap(out, sticky.rooms, (events) => {
      out.text('{"events":');
      writeArray(out, events);
      out.text("}");
    });
    out.text("}");
  }
  out.text(separator === "{" ? "{}" : "}");
}

function e2eeJson(e2ee: NonNullable<ExtensionsBody["e2ee"]>, tellsEmpty: boolean): string {
  const { otkCounts, fallbackKeyTypes, lists } = e2ee;
  const parts: string[] = [];
  if (tellsEmpty || otkCounts !== null) parts.push(`"device_one_time_keys_count":${otkCounts ?? "{}"}`);
  if (tellsEmpty || fallbackKeyTypes !== null)
    parts.push(`"device_unused_fallback_key_types":${fallbackKeyTypes ?? "[]"}`);
  if (lists !== null) parts.push(`"device_lists":${JSON.stringify(lists)}`);
  return `{${parts.join(",")}}`;
}

function writeAccountData(
  out: ByteWriter,
  { global, rooms }: NonNullable<ExtensionsBody["accountData"]>,
  tellsEmpty: boolean,
): void {
  let separator = "{";
  if (tellsEmpty || global.length > 0) {
    out.text(`${separator}"global":`);
    writeArray(out, global);
    separator = ",";
  }
  if (tellsEmpty || rooms.size > 0) {
    out.text(`${separator}"rooms":`);
    writeMap(out, rooms, (events) => writeArray(out, events));
    separator = ",";
  }
  out.text(separator === "{" ? "{}" : "}");
}

function writeRooms<V>(out: ByteWriter, rooms: ReadonlyMap<string, V>, write: (value: V) => void): void {
  out.text('{"rooms":');
  writeMap(out, rooms, write);
  out.text("}");
}
