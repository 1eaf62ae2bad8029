// SPDX-License-Identifier: Apache-2.0

/**
 * Directories in which files hold still: what was looked at there is what is opened there. Only root and the user
 * of this process can exchange anything on the way to them.
 */
import { basename, dirname, join } from "node:path";

/**
 * The path of a directory without links, made (0700) where it is missing; `made` gets what was, outermost first.
 * Throws a sentence's end when a directory above it is another user's, or open to others.
 */
export function makePlace(named: string, made: string[] = []): string {
  const place = join(makeAbove(dirname(named), made), basename(named));
  if (!isThere(place)) make(place, made);
  const { isDirectory, isSymlink } = Deno.lstatSync(place);
  // The path above was followed to its end; the last part is not, for its owner could be anybody.
  if (isSymlink) throw new Error("it is a link: name what it leads to");
  if (!isDirectory) throw new Error("it is not a directory");
  return place;
}

/** Throws a sentence's end when the directory is neither this user's nor root's. */
export function refuseForeignPlace(place: string): void {
  if (!isTrusted(Deno.lstatSync(place).uid)) throw new Error("it belongs to another user");
}

/** Throws a sentence's end when others than its owner can write to the directory. */
export function refuseOpenPlace(place: string): void {
  if (isOpen(Deno.lstatSync(place).mode)) throw new Error("others can write to it");
}

/** Throws a sentence's end when something is there that is not an ordinary file of this user (or of root). */
export function refuseForeignFile(path: string): void {
  if (!isThere(path)) return;
  const { isFile, isSymlink, uid } = Deno.lstatSync(path);
  const name = basename(path);
  if (isSymlink) throw new Error(`"${name}" in it is a link`);
  if (!isFile) throw new Error(`"${name}" in it is not an ordinary file`);
  if (!isTrusted(uid)) throw new Error(`"${name}" in it belongs to another user`);
}

/** Whether something has that name, a link that leads nowhere too. */
function isThere(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

function makeAbove(path: string, made: string[]): string {
  if (!isThere(path)) {
    const above = join(makeAbove(dirname(path), made), basename(path));
    make(above, made);
    return above;
  }
  const real = Deno.realPathSync(path);
  for (let at = real, done = false; !done; at = dirname(at)) {
    const { uid, mode, isDirectory } = Deno.lstatSync(at);
    if (!isDirectory) throw new Error("a part of its path is not a directory");
    const isSticky = ((mode ?? 0) & 0o1000) !== 0;
    if (!isTrusted(uid) || (isOpen(mode) && !isSticky)) {
      throw new Error(`others can exchange a directory of its path, ${at}`);
    }
    done = at === "/";
  }
  return real;
}

function make(path: string, made: string[]): void {
  Deno.mkdirSync(path, { mode: 0o700 });
  made.push(path);
}

function isTrusted(uid: number | null): boolean {
  return uid === 0 || uid === Deno.uid();
}

function isOpen(mode: number | null): boolean {
  return ((mode ?? 0) & 0o022) !== 0;
}
