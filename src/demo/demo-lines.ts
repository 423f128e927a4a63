/** Who lives on the demonstration homeserver. */
export const RESIDENTS = [
  { name: "ada", displayName: "Ada" },
  { name: "bo", displayName: "Bo" },
  { name: "chidi", displayName: "Chidi" },
  { name: "dana", displayName: "Dana" },
  { name: "emil", displayName: "Emil" },
  { name: "fatima", displayName: "Fatima" },
  { name: "goro", displayName: "Goro" },
  { name: "hana", displayName: "Hana" },
] as const;

/** Names of rooms; a number is added where they run out. */
export const ROOM_NAMES = [
  "Tea Room",
  "Garden",
  "Night Owls",
  "Bicycle Repair",
  "Chess by Mail",
  "Weather",
  "Lost and Found",
  "Book Club",
  "Harbour",
  "Sourdough",
  "Old Maps",
  "Mushrooms",
  "Telescope Nights",
  "Choir",
  "Language Exchange",
  "Allotment",
  "Tool Library",
  "Film Evening",
  "Crosswords",
  "Bees",
  "Radio",
  "Long Walks",
  "Synthesizers",
  "Recipes",
  "Swimming",
  "Cartography",
  "Birds",
  "Typewriters",
  "Puppetry",
  "Trains",
  "Pottery",
  "Astronomy",
  "Knots",
  "Origami",
  "Jazz",
  "Lighthouses",
] as const;

/** What people say. */
export const REMARKS = [
  "has anybody seen my umbrella?",
  "the kettle is on",
  "I will be ten minutes late",
  "that is exactly what I meant",
  "who has the key?",
  "it works! no idea why",
  "next Thursday, same place",
  "did you read the last chapter?",
  "the second one is much better",
  "I brought too many tomatoes again",
  "look outside, quickly",
  "can somebody lend me a ladder?",
  "good morning!",
  "that was the wrong room, sorry",
  "has it always been blue?",
  "I count eleven of them",
  "agreed",
  "let us ask Hana",
  "it rained the whole night",
  "shall we?",
] as const;

/** What people answer with a click. */
export const REACTIONS = ["👍", "🎉", "😄", "🌱", "👀"] as const;

/** What rooms are about, for a while. */
export const TOPICS = [
  "please bring cups",
  "closed on Sundays",
  "new members welcome",
  "under construction",
  "minutes of the last meeting are pinned",
] as const;
