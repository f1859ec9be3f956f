// Who is signed in. The session itself is a cookie that scripts cannot read; kept here is only who and until when, so
// that a visitor without one is not sent through a refused request first.
import { get, send } from "./api.ts";
import type { Session } from "./lib/types.ts";

const KEY = "lattice.session";

interface Stored extends Session {
  expiresAt: string;
}

export function storedSession(): Session | undefined {
  try {
    const stored = JSON.parse(localStorage.getItem(KEY) ?? "null") as Stored | null;
    if (!stored || Date.parse(stored.expiresAt) < Date.now()) return undefined;
    return { user: stored.user, role: stored.role };
  } catch {
    return undefined;
  }
}

export async function login(token: string): Promise<Session> {
  const stored = await send<Stored>("POST", "/api/v1/auth/login", { token });
  localStorage.setItem(KEY, JSON.stringify({ user: stored.user, role: stored.role, expiresAt: stored.expiresAt }));
  return { user: stored.user, role: stored.role };
}

// The server's word on a session that was remembered.
export async function confirmSession(): Promise<Session> {
  return get<Session>("/api/v1/auth/me");
}

export async function logout(): Promise<void> {
  forgetSession();
  await send("POST", "/api/v1/auth/logout", {});
}

export function forgetSession(): void {
  localStorage.removeItem(KEY);
}
