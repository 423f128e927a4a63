import { useEffect, useRef, useState } from "preact/hooks";
import { browser } from "../browser.ts";
import type { ListFilters, Sort } from "../model/query.ts";
import type { Client } from "../session/client.ts";

interface Choice {
  name: string;
  filters: ListFilters;
}

const CHOICES: readonly Choice[] = [
  { name: "All", filters: {} },
  { name: "Direct", filters: { isDm: true } },
  { name: "Groups", filters: { isDm: false } },
  { name: "Encrypted", filters: { isEncrypted: true } },
  { name: "Open", filters: { isEncrypted: false } },
  { name: "Invitations", filters: { isInvite: true } },
  { name: "Favourites", filters: { isFavourite: true } },
  { name: "Spaces", filters: { isSpace: true } },
];

const SORT_NAMES: Readonly<Record<Sort, string>> = {
  recency: "Newest first",
  name: "By name",
  unread: "Unread first",
};

/** So long nobody has typed before the server is asked. */
const TYPING_REST_MS = 250;

/** Which rooms are listed and in which order: all of it is asked of the server. */
export function Filters({
  client,
  onChange,
}: {
  client: Client;
  onChange: (filters: ListFilters, sort: Sort) => void;
}) {
  const [choice, setChoice] = useState("All");
  const [name, setName] = useState("");
  const [space, setSpace] = useState("");
  const [sort, setSort] = useState<Sort>("recency");
  const isFirst = useRef(true);
  const isOriginal = client.dialect === "msc3575";

  useEffect(() => {
    if (isFirst.current) {
      isFirst.current = false;
      return undefined;
    }
    const chosen = CHOICES.find((known) => known.name === choice)?.filters ?? {};
    const apply = (): void =>
      onChange(
        { ...chosen, ...(name.trim() === "" ? {} : { name: name.trim() }), ...(space === "" ? {} : { space }) },
        sort,
      );
    return browser.after(TYPING_REST_MS, apply);
  }, [choice, name, space, sort]);

  const spaces = [...client.rooms].filter(({ isSpace }) => isSpace);
  return (
    <div class="filters">
      <div class="filter-row">
        {isOriginal && (
          <label class="grow">
            <span class="visually-hidden">Part of the name</span>
            <input
              type="search"
              placeholder="Name"
              value={name}
              onInput={(event) => setName(event.currentTarget.value)}
            />
          </label>
        )}
        <label class={isOriginal ? "" : "grow"}>
          <span class="visually-hidden">Order</span>
          <select
            value={sort}
            disabled={!isOriginal}
            title={isOriginal ? undefined : "This dialect knows one order"}
            onChange={(event) => setSort(sortOf(event.currentTarget.value))}
          >
            {Object.entries(SORT_NAMES).map(([key, label]) => (
              <option key={key} value={key}>
                {label}
              </option>
            ))}
          </select>
        </label>
        {spaces.length > 0 && (
          <label>
            <span class="visually-hidden">Space</span>
            <select value={space} onChange={(event) => setSpace(event.currentTarget.value)}>
              <option value="">Any space</option>
              {spaces.map(({ id, name: title }) => (
                <option key={id} value={id}>
                  {title}
                </option>
              ))}
            </select>
          </label>
        )}
      </div>
      <div class="chips" role="group" aria-label="Which rooms">
        {CHOICES.map((known) => (
          <button
            key={known.name}
            type="button"
            class="chip"
            aria-pressed={known.name === choice}
            onClick={() => setChoice(known.name)}
          >
            {known.name}
          </button>
        ))}
      </div>
    </div>
  );
}

const sortOf = (text: string): Sort => (text === "name" || text === "unread" ? text : "recency");
