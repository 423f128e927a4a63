import { test } from "bun:test";
import { play } from "./model/play.ts";
test("x", async () => {
  console.log(await play({"seed":0,"stateAfter":false,"heals":true,"limitsJoins":false,"steps":[{"kind":"act","act":"create","room":0,"who":0,"n":0},{"kind":"act","act":"vanish","room":10,"who":0,"n":0},{"kind":"ask","client":0,"fate":"arrives","changes":[]}]} as never));
  console.log(await play({"seed":0,"stateAfter":false,"heals":false,"limitsJoins":false,"steps":[{"kind":"act","act":"create","room":0,"who":0,"n":1},{"kind":"poll","device":1,"limit":50},{"kind":"ask","client":0,"fate":"arrives","changes":[]},{"kind":"poll-early","device":0,"limit":50}]} as never));
});
