import { useState } from "preact/hooks";
import { Icon } from "./icon.tsx";

/** Writes a message; enter sends it, with shift a line begins. */
export function Composer({ isEncrypted, send }: { isEncrypted: boolean; send: (body: string) => void }) {
  const [body, setBody] = useState("");
  const submit = (): void => {
    if (body.trim() === "") return;
    send(body);
    setBody("");
  };
  if (isEncrypted) {
    return <p class="composer muted small">This console has no keys: it does not write into encrypted rooms.</p>;
  }
  return (
    <form
      class="composer"
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
    >
      <label class="grow">
        <span class="visually-hidden">Message</span>
        <textarea
          rows={1}
          placeholder="Message"
          value={body}
          onInput={(event) => setBody(event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
            event.preventDefault();
            submit();
          }}
        />
      </label>
      <button type="submit" class="button" aria-label="Send" disabled={body.trim() === ""}>
        <Icon name="send" />
      </button>
    </form>
  );
}
