import type { Json } from "./wire.ts";

function rule(ruleId: string, conditions: readonly Json[], actions: readonly unknown[]): Json {
  return { rule_id: ruleId, default: true, enabled: true, conditions, actions };
}

const matches = (key: string, pattern: string): Json => ({ kind: "event_match", key, pattern });
const HIGHLIGHT = { set_tweak: "highlight" };
const SOUND = { set_tweak: "sound", value: "default" };

/** The push rules a new account has, as far as clients count on them. */
export function defaultPushRules(userId: string, localpart: string): Json {
  const isMyInvite = [
    matches("type", "m.room.member"),
    matches("content.membership", "invite"),
    matches("state_key", userId),
  ];
  return {
    override: [
      { ...rule(".m.rule.master", [], []), enabled: false },
      rule(".m.rule.suppress_notices", [matches("content.msgtype", "m.notice")], []),
      rule(".m.rule.invite_for_me", isMyInvite, ["notify", SOUND]),
      rule(".m.rule.member_event", [matches("type", "m.room.member")], []),
    ],
    content: [
      {
        rule_id: ".m.rule.contains_user_name",
        default: true,
        enabled: true,
        pattern: localpart,
        actions: ["notify", SOUND, HIGHLIGHT],
      },
    ],
    room: [],
    sender: [],
    underride: [
      rule(".m.rule.message", [matches("type", "m.room.message")], ["notify"]),
      rule(".m.rule.encrypted", [matches("type", "m.room.encrypted")], ["notify"]),
    ],
  };
}
