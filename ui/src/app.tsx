/** The frame: header, the page of the address, and what lies over it. */
import { useEffect, useState } from "preact/hooks";
import { HereContext, type Here, useLocation } from "./here";
import { useKeys } from "./keys";
import { Help } from "./parts/help";
import { Header } from "./parts/header";
import { SessionDialog } from "./parts/session";
import { LogsPage } from "./pages/logs";
import { ServicePage } from "./pages/service";
import { ServicesPage } from "./pages/services";
import { SqlPage } from "./pages/sql";
import { TracePage } from "./pages/trace";
import { TracesPage } from "./pages/traces";

type Overlay = "help" | "session" | null;

export function App() {
  const here = useLocation();
  const [overlay, setOverlay] = useState<Overlay>(null);
  useKeys(here, {
    help: () => setOverlay((each) => (each === "help" ? null : "help")),
    escape: () => (overlay ? setOverlay(null) : here.params.has("span") && here.change({ span: null })),
  });
  useEffect(() => {
    const prompt = (): void => setOverlay("session");
    window.addEventListener("gnomon:unauthenticated", prompt);
    return () => window.removeEventListener("gnomon:unauthenticated", prompt);
  }, []);
  const title = here.place ? here.place.id || here.place.page : "not found";
  useEffect(() => {
    document.title = `${title} · Gnomon`;
  }, [title]);
  return (
    <HereContext.Provider value={here}>
      <a class="skip" href="#main">Skip to content</a>
      <Header onHelp={() => setOverlay("help")} onSession={() => setOverlay("session")} />
      <main id="main">
        <Page here={here} />
      </main>
      {overlay === "help" && <Help onClose={() => setOverlay(null)} />}
      {overlay === "session" && <SessionDialog onClose={() => setOverlay(null)} />}
    </HereContext.Provider>
  );
}

function Page({ here: { place } }: { here: Here }) {
  if (!place) {
    return (
      <div class="empty">
        <h2>No such page</h2>
        <p>Nothing lives at <code>{location.pathname}</code>. <a href="/services">Services</a> is a good place to start.</p>
      </div>
    );
  }
  switch (place.page) {
    case "services":
      return place.id ? <ServicePage key={place.id} service={place.id} /> : <ServicesPage />;
    case "traces":
      return place.id ? <TracePage key={place.id} traceId={place.id} /> : <TracesPage />;
    case "logs":
      return <LogsPage />;
    case "sql":
      return <SqlPage />;
  }
}
