// What pages share: loading, the clock, keys.
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { isAbort, messageOf } from "./api.ts";

export interface Loaded<T> {
  data: T | undefined;
  error: string;
  loading: boolean;
  reload: () => void;
}

// Loads by `load` when `key` changes and every `everyMs` while the page is visible. What was there stays until the new
// answer is, so that nothing jumps.
export function useLoad<T>(key: string, load: (signal: AbortSignal) => Promise<T>, everyMs = 0): Loaded<T> {
  const [data, setData] = useState<T>();
  const [error, setError] = useState("");
  const [loading, setLoading] = useState(true);
  const [round, setRound] = useState(0);
  const loadNow = useRef(load);
  loadNow.current = load;
  const busy = useRef(false);

  useEffect(() => {
    const abort = new AbortController();
    setLoading(true);
    busy.current = true;
    const end = (message: string): void => {
      busy.current = false;
      setError(message);
      setLoading(false);
    };
    loadNow.current(abort.signal).then(
      (value) => {
        setData(() => value);
        end("");
      },
      (reason: unknown) => isAbort(reason) || end(messageOf(reason)),
    );
    return () => abort.abort();
  }, [key, round]);

  useEffect(() => {
    if (everyMs === 0) return undefined;
    const timer = setInterval(() => {
      // An answer that takes longer than this is waited for, not asked for again.
      if (!document.hidden && !busy.current) setRound((value) => value + 1);
    }, everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);

  return { data, error, loading, reload: useCallback(() => setRound((value) => value + 1), []) };
}

// The time, for "5 s ago"; renders its user every `everyMs`.
export function useNow(everyMs = 5000): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  return now;
}

type Keys = Record<string, (event: KeyboardEvent) => void>;

const layers: { current: Keys }[] = [];

function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));
}

// Enter on a link or a button is theirs.
function isActive(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && target.closest("a, button, summary") !== null;
}

// True where a layer took the key. The newest layer that knows it wins.
export function dispatchKey(event: KeyboardEvent): boolean {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return false;
  if (document.querySelector("dialog[open]")) return false;
  if (isTyping(event.target) && event.key !== "Escape") return false;
  if (event.key === "Enter" && isActive(event.target)) return false;
  for (const layer of [...layers].reverse()) {
    const handler = layer.current[event.key];
    if (!handler) continue;
    event.preventDefault();
    handler(event);
    return true;
  }
  return false;
}

export function useKeys(keys: Keys): void {
  const layer = useRef(keys);
  layer.current = keys;
  useEffect(() => {
    layers.push(layer);
    return () => {
      layers.splice(layers.indexOf(layer), 1);
    };
  }, []);
}

// j/k move, Enter opens, Escape closes, over `count` rows. `-1`: no row yet. `moved` hears of each move by a key.
export function useRowKeys(
  count: number,
  open: (index: number) => void,
  close: () => void,
  moved: (index: number) => void = () => {},
): [number, (index: number) => void] {
  const [selected, select] = useState(-1);
  const bounded = Math.min(selected, count - 1);
  useEffect(() => {
    document.querySelector(".row.selected")?.scrollIntoView({ block: "nearest" });
  }, [bounded]);
  const down = (): void => moveTo(Math.min(bounded + 1, count - 1));
  const up = (): void => moveTo(Math.max(bounded - 1, 0));
  const moveTo = (index: number): void => {
    select(index);
    moved(index);
  };
  useKeys({
    j: down,
    k: up,
    ArrowDown: down,
    ArrowUp: up,
    Enter: () => bounded >= 0 && open(bounded),
    Escape: () => {
      if (document.activeElement instanceof HTMLElement && isTyping(document.activeElement)) document.activeElement.blur();
      else close();
    },
  });
  return [bounded, select];
}

export function useMedia(query: string): boolean {
  const [matches, setMatches] = useState(() => window.matchMedia(query).matches);
  useEffect(() => {
    const list = window.matchMedia(query);
    const update = (): void => setMatches(list.matches);
    list.addEventListener("change", update);
    return () => list.removeEventListener("change", update);
  }, [query]);
  return matches;
}

// For shortcuts of the mouse: the text goes to the clipboard, also where the page is not served over TLS.
export async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "offscreen";
    (document.querySelector("dialog[open]") ?? document.body).append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}
