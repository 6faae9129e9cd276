import { useState } from "preact/hooks";
import { session } from "../api";
import { Dialog } from "./dialog";

/** Asked for on a 401, and from the header to change tenant. */
export function SessionDialog({ onClose }: { onClose: () => void }) {
  const [token, setToken] = useState(session.token);
  const [tenant, setTenant] = useState(session.tenant);
  const submit = (event: Event): void => {
    event.preventDefault();
    session.change(token, tenant);
    onClose();
  };
  return (
    <Dialog title="Who is asking?" onClose={onClose}>
      <form class="session" onSubmit={submit}>
        <label>
          Token
          <input type="password" autocomplete="off" value={token} onInput={(e) => setToken(e.currentTarget.value)} autofocus />
          <small>With the scope <code>read</code>. Kept for this tab only. A server on loopback may need none.</small>
        </label>
        <label>
          Tenant
          <input value={tenant} placeholder="default" spellcheck={false} onInput={(e) => setTenant(e.currentTarget.value)} />
          <small>Sent as <code>X-Scope-OrgID</code>.</small>
        </label>
        <button class="primary">Use</button>
      </form>
    </Dialog>
  );
}
