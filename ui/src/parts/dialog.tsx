import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { Icon } from "./icon";

/** The browser's own modal: focus stays inside, Esc closes. */
export function Dialog(props: { title: string; onClose: () => void; children: ComponentChildren }) {
  const ref = useRef<HTMLDialogElement>(null);
  useEffect(() => ref.current?.showModal(), []);
  return (
    <dialog
      ref={ref}
      onClose={props.onClose}
      onClick={(event) => event.target === ref.current && props.onClose()}
      aria-label={props.title}
    >
      <div class="dialog">
        <h2>{props.title}</h2>
        <button class="icon close" onClick={props.onClose} title="Close (Esc)"><Icon name="close" /></button>
        {props.children}
      </div>
    </dialog>
  );
}
