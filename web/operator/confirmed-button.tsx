import { useEffect, useRef, useState } from "preact/hooks";

interface ConfirmedButtonProps {
  name: string;
  question: string;
  isDangerous?: boolean;
  act: () => Promise<string | null>;
  onDone: () => void;
}

/** A button that asks once more before it acts, and says what went wrong. */
export function ConfirmedButton({ name, question, isDangerous = false, act, onDone }: ConfirmedButtonProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [isOpen, setOpen] = useState(false);
  const [isBusy, setBusy] = useState(false);
  const [failure, setFailure] = useState<string | null>(null);
  useEffect(() => {
    if (isOpen) dialog.current?.showModal();
  }, [isOpen]);
  const open = (): void => {
    setFailure(null);
    setOpen(true);
  };
  const run = async (): Promise<void> => {
    setBusy(true);
    const reason = await act();
    setBusy(false);
    setFailure(reason);
    if (reason !== null) return;
    dialog.current?.close();
    onDone();
  };
  return (
    <>
      <button type="button" class="chip" onClick={open}>
        {name}
      </button>
      {isOpen && (
        <dialog ref={dialog} class="confirm" aria-label={name} onClose={() => setOpen(false)}>
          <p>{question}</p>
          <p class="notice bad" role="alert" hidden={failure === null}>
            {failure}
          </p>
          <div class="buttons">
            <button
              type="button"
              class={`button ${isDangerous ? "danger" : ""}`}
              disabled={isBusy}
              onClick={() => void run()}
            >
              {isBusy ? "Working…" : name}
            </button>
            <button type="button" class="button secondary" onClick={() => dialog.current?.close()}>
              Cancel
            </button>
          </div>
        </dialog>
      )}
    </>
  );
}
