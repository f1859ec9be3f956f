// The frame around the pages: navigation, session, keys that work everywhere.
import type { ComponentType } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { messageOf, setUnauthorizedHandler } from "./api.ts";
import { dispatchKey, useKeys } from "./hooks.ts";
import { parseView, printView } from "./lib/filter.ts";
import type { Session } from "./lib/types.ts";
import { AgentsPage } from "./pages/agents.tsx";
import { DeniedPage } from "./pages/denied.tsx";
import { FlowsPage } from "./pages/flows.tsx";
import { IntegrityPage } from "./pages/integrity.tsx";
import { LivePage } from "./pages/live.tsx";
import { LoginPage } from "./pages/login.tsx";
import { OverviewPage } from "./pages/overview.tsx";
import { Help } from "./parts/help.tsx";
import { HelpIcon, MoonIcon, SunIcon, SystemIcon } from "./parts/icons.tsx";
import { currentLocation, followLink, navigate, useLocation } from "./router.ts";
import { confirmSession, forgetSession, logout, storedSession } from "./session.ts";
import { applyTheme, nextTheme, storedTheme, type Theme } from "./theme.ts";

export interface PageProps {
  search: string;
  session: Session;
}

interface Page {
  path: string;
  name: string;
  key: string; // after g
  component: ComponentType<PageProps>;
}

const PAGES: Page[] = [
  { path: "/", name: "Overview", key: "o", component: OverviewPage },
  { path: "/flows", name: "Flows", key: "f", component: FlowsPage },
  { path: "/live", name: "Live", key: "l", component: LivePage },
  { path: "/denied", name: "Denied", key: "d", component: DeniedPage },
  { path: "/agents", name: "Agents", key: "a", component: AgentsPage },
  { path: "/integrity", name: "Integrity", key: "i", component: IntegrityPage },
];

// g and the next key belong together for this long.
const SEQUENCE_MS = 1500;

export function App() {
  const [session, setSession] = useState(storedSession);
  useEffect(() => {
    setUnauthorizedHandler(() => {
      forgetSession();
      setSession(undefined);
    });
    // A remembered session may have been revoked, or its role changed.
    if (session) confirmSession().then(setSession, () => {});
    const onKey = (event: KeyboardEvent): void => void dispatchKey(event);
    window.addEventListener("keydown", onKey);
    return () => window.removeEventListener("keydown", onKey);
  }, []);

  // The URL stays as it is, so that signing in leads to where the visitor was going.
  if (!session) return <LoginPage onSession={setSession} />;
  return <Frame session={session} onLogout={() => setSession(undefined)} />;
}

// The range goes along from page to page, the filters do not.
function linkTo(page: Page, search: string): string {
  const { from, to } = parseView(search);
  return page.path + printView({ terms: [], from, to, order: "desc" });
}

function Frame({ session, onLogout }: { session: Session; onLogout: () => void }) {
  const location = useLocation();
  const [help, setHelp] = useState(false);
  const page = PAGES.find((candidate) => candidate.path === location.path);
  useEffect(() => {
    document.title = `${page?.name ?? "Not found"} · Lattice`;
  }, [page]);
  useNavigationKeys(() => setHelp(true));

  const Component = page?.component;
  return (
    <div class="frame" onClick={followLink}>
      <a class="skip" href="#main">
        To the content
      </a>
      <header class="top">
        <a class="brand" href="/" aria-label="Lattice, overview">
          <svg viewBox="0 0 32 32" width="22" height="22" aria-hidden="true">
            <rect width="32" height="32" rx="7" class="brand-tile" />
            <path d="M9 9h14v14H9zM9 16h14M16 9v14" class="brand-lines" />
            {[[9, 9], [23, 9], [9, 23], [23, 23], [16, 16]].map(([x, y]) => (
              <circle key={`${x}/${y}`} cx={x} cy={y} r="2.6" class="brand-node" />
            ))}
          </svg>
          <span>Lattice</span>
        </a>
        <nav aria-label="Pages">
          {PAGES.map((item) => (
            <a key={item.path} href={linkTo(item, location.search)} aria-current={item === page ? "page" : undefined} title={`g ${item.key}`}>
              {item.name}
            </a>
          ))}
        </nav>
        <div class="top-right">
          <ThemeButton />
          <button class="icon" type="button" onClick={() => setHelp(true)} aria-label="Keyboard help" title="Keyboard help: ?">
            <HelpIcon />
          </button>
          <UserMenu session={session} onLogout={onLogout} />
        </div>
      </header>
      <main id="main" tabIndex={-1}>
        {Component ? <Component search={location.search} session={session} /> : <NotFound path={location.path} />}
      </main>
      {help && <Help onClose={() => setHelp(false)} />}
    </div>
  );
}

function useNavigationKeys(openHelp: () => void): void {
  const pressed = useRef(0);
  const go = (key: string): boolean => {
    const page = PAGES.find((candidate) => candidate.key === key);
    if (!page || Date.now() - pressed.current > SEQUENCE_MS) return false;
    pressed.current = 0;
    navigate(linkTo(page, currentLocation().search));
    return true;
  };
  const keys: Record<string, () => void> = {
    g: () => {
      pressed.current = Date.now();
    },
    "?": openHelp,
    "/": () => document.querySelector<HTMLInputElement>("[data-filter]")?.focus(),
  };
  for (const page of PAGES) keys[page.key] = () => void go(page.key);
  useKeys(keys);
}

function ThemeButton() {
  const [theme, setTheme] = useState<Theme>(storedTheme);
  const toggle = (): void => {
    const next = nextTheme(theme);
    applyTheme(next);
    setTheme(next);
  };
  const label = `Colours: ${theme}. Change to ${nextTheme(theme)}`;
  return (
    <button class="icon" type="button" onClick={toggle} aria-label={label} title={label}>
      {theme === "system" ? <SystemIcon /> : theme === "light" ? <SunIcon /> : <MoonIcon />}
    </button>
  );
}

function UserMenu({ session, onLogout }: { session: Session; onLogout: () => void }) {
  const [error, setError] = useState("");
  const leave = (): void => {
    logout().then(onLogout, (reason: unknown) => setError(messageOf(reason)));
  };
  return (
    <div class="user">
      <span class="user-name" title={error || `Signed in as ${session.user}, role ${session.role}`}>
        {session.user}
        <small>{session.role}</small>
      </span>
      <button type="button" class="quiet" onClick={leave}>
        Sign out
      </button>
    </div>
  );
}

function NotFound({ path }: { path: string }) {
  return (
    <div class="empty">
      <h1>There is no page {path}</h1>
      <p>
        <a href="/">Overview</a> is where to begin.
      </p>
    </div>
  );
}
