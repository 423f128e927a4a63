const PATHS = {
  back: "M15 5l-7 7 7 7",
  close: "M6 6l12 12M18 6L6 18",
  filter: "M4 6h16M7 12h10M10 18h4",
  lock: "M7 11V8a5 5 0 0 1 10 0v3M6 11h12v9H6z",
  moon: "M20 14.5A8 8 0 1 1 9.5 4a6.5 6.5 0 0 0 10.5 10.5z",
  pause: "M8 5v14M16 5v14",
  people:
    "M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM2.5 20a6.5 6.5 0 0 1 13 0M16 4.5a3.5 3.5 0 0 1 0 6.5M18 14a6.5 6.5 0 0 1 3.5 6",
  play: "M7 5l12 7-12 7z",
  read: "M2 13l4 4L14 9M10 15l2 2 8-8",
  send: "M4 12l16-8-6 16-3-6z",
  sun: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2v2M12 20v2M2 12h2M20 12h2M5 5l1.5 1.5M17.5 17.5L19 19M5 19l1.5-1.5M17.5 6.5L19 5",
  auto: "M12 3a9 9 0 1 0 0 18zM12 3a9 9 0 0 1 0 18",
  trash: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13",
  wire: "M3 8h14M13 4l4 4-4 4M21 16H7M11 12l-4 4 4 4",
  rooms: "M4 5h16v11H9l-5 4z",
  out: "M14 4h5v16h-5M10 8l-4 4 4 4M6 12h9",
} as const;

/** Names of the pictures there are. */
export type IconName = keyof typeof PATHS;

/** A small picture beside or in place of a word; the word is said by whoever shows it. */
export function Icon({ name }: { name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  );
}

/** The mark of Glissade. */
export function Logo() {
  return (
    <svg class="logo" viewBox="0 0 32 32" aria-hidden="true" focusable="false">
      <rect width="32" height="32" rx="8" class="logo-ground" />
      <path d="M6 21c5 0 6-9 11-9 3 0 4 3 9 3" class="logo-line" />
      <circle cx="9" cy="11" r="2.2" class="logo-dot" />
    </svg>
  );
}
