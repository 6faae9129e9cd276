import { useState } from "preact/hooks";
import { Icon } from "./icon";

export function Copy({ text, label }: { text: string; label: string }) {
  const [done, setDone] = useState(false);
  const copy = async (event: Event): Promise<void> => {
    event.stopPropagation();
    await write(text);
    setDone(true);
    window.setTimeout(() => setDone(false), 1200);
  };
  return (
    <button class="copy" onClick={(event) => void copy(event)} title={`Copy ${text.length > 80 ? "" : text}`}>
      <Icon name="copy" />
      {done ? "Copied" : label}
    </button>
  );
}

/** Browsers give `navigator.clipboard` to https and localhost only; a console on plain http has the old way. */
async function write(text: string): Promise<void> {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = document.createElement("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}
