import { useEffect, useRef, useState } from "preact/hooks";
import { useHere } from "../here";
import { Icon } from "./icon";

const SETTLED_MS = 250; // between two keystrokes of a slow typist: one question a word, not a letter

/** A text field that is a parameter of the address. `first`: the one that `/` goes to. */
export function Search(props: { name: string; placeholder: string; first?: boolean; suggestions?: readonly string[] }) {
  const here = useHere();
  const current = here.params.get(props.name) ?? "";
  const [text, setText] = useState(current);
  const timer = useRef(0);
  useEffect(() => setText(current), [current]);
  const settle = (value: string, ms: number): void => {
    window.clearTimeout(timer.current);
    timer.current = window.setTimeout(() => here.change({ [props.name]: value.trim() }), ms);
  };
  const listId = props.suggestions ? `suggest-${props.name}` : undefined;
  return (
    <label class="search">
      <Icon name="search" />
      <input
        type="search"
        placeholder={props.placeholder}
        aria-label={props.placeholder}
        value={text}
        list={listId}
        spellcheck={false}
        {...(props.first ? { "data-search": "" } : {})}
        onInput={(event) => {
          setText(event.currentTarget.value);
          settle(event.currentTarget.value, SETTLED_MS);
        }}
        onKeyDown={(event) => event.key === "Enter" && settle(event.currentTarget.value, 0)}
      />
      {listId && <datalist id={listId}>{props.suggestions!.map((each) => <option key={each} value={each} />)}</datalist>}
    </label>
  );
}
