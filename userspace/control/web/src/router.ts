// The page and its filters are the URL: history routing, nothing else holds them.
import { useEffect, useState } from "preact/hooks";

export interface Location {
  path: string;
  search: string;
}

const listeners = new Set<() => void>();

export function currentLocation(): Location {
  return { path: window.location.pathname, search: window.location.search };
}

// `replace` for what is no step of its own, such as typing.
export function navigate(url: string, replace = false): void {
  if (replace) window.history.replaceState(null, "", url);
  else window.history.pushState(null, "", url);
  for (const listener of listeners) listener();
}

export function useLocation(): Location {
  const [location, setLocation] = useState(currentLocation);
  useEffect(() => {
    const update = (): void => setLocation(currentLocation());
    listeners.add(update);
    window.addEventListener("popstate", update);
    return () => {
      listeners.delete(update);
      window.removeEventListener("popstate", update);
    };
  }, []);
  return location;
}

// A click on a link of ours goes through the router; one with a modifier key is the browser's.
export function followLink(event: MouseEvent): void {
  const link = (event.target as Element).closest("a");
  if (!link || event.defaultPrevented || event.button !== 0) return;
  if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const href = link.getAttribute("href") ?? "";
  if (!href.startsWith("/") || href.startsWith("/api/") || href.includes(".json") || link.hasAttribute("download")) return;
  event.preventDefault();
  navigate(href);
}
