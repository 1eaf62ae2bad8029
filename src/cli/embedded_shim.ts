// SPDX-License-Identifier: Apache-2.0

/**
 * The shim out of a compiled binary: the system's loader wants a file. It goes to a directory that is ours
 * alone; tools/launcher/place.c has the same list for the self-extracting form.
 */
import { createHash } from "node:crypto";
import { basename, join } from "node:path";
import { openLibrary } from "../../ffi/library.ts";
import { makePlace, refuseForeignPlace, refuseOpenPlace } from "../store/place.ts";
import { CommandError, sentence } from "./io.ts";

/** What the outside world gives, so that a test can be one. */
export interface ShimPlaces {
  /** Candidates in order; each is made where it is missing. */
  readonly places: readonly string[];
  /** Throws when the loader cannot use the file: a directory mounted noexec. */
  readonly probe: (path: string) => void;
}

/** A variable with a directory, and what comes behind it. */
const VARIABLES = [
  ["STATE_DIRECTORY", "program"],
  ["RUNTIME_DIRECTORY", "program"],
  ["XDG_CACHE_HOME", "psp-agent"],
  ["HOME", ".cache/psp-agent"],
] as const;

/**
 * Copies the file at `embedded` to the first place that will have it, and returns where it is. A copy that is
 * there already is used if it is the same, octet for octet. Throws `CommandError` when no place will do.
 */
export function extractShim(
  embedded: string,
  { places, probe }: ShimPlaces = { places: usualPlaces(), probe: load },
): string {
  const bytes = Deno.readFileSync(embedded);
  const id = sha256(bytes).slice(0, 24);
  const tried: string[] = [];
  for (const named of places) {
    try {
      const place = openPlace(named);
      const dir = join(place, `shim-${id}`);
      Deno.mkdirSync(dir, { recursive: true, mode: 0o700 });
      const path = join(dir, basename(embedded));
      if (!holds(path, bytes)) write(path, bytes);
      probe(path);
      removeOthers(place, `shim-${id}`);
      return path;
    } catch (error) {
      tried.push(`${named} (${sentence(error)})`);
    }
  }
  throw new CommandError(
    `Cannot extract the shim: ${tried.join("; ")}; PSP_AGENT_CACHE names another directory`,
  );
}

/** Where a program of ours may keep files: PSP_AGENT_CACHE alone, if it is set. */
export function usualPlaces(
  variable: (name: string) => string | undefined = (name) => Deno.env.get(name),
): readonly string[] {
  const absolute = (name: string) => {
    // systemd names several with colons between them.
    const value = variable(name)?.split(":")[0];
    return value?.startsWith("/") ? value : undefined;
  };
  const named = absolute("PSP_AGENT_CACHE");
  if (named !== undefined) return [named];
  const found = VARIABLES.flatMap(([name, leaf]) => {
    const value = absolute(name);
    return value === undefined ? [] : [join(value, leaf)];
  });
  return [
    ...found,
    "/var/lib/psp-agent/program",
    "/run/psp-agent/program",
    `/tmp/psp-agent-${Deno.uid() ?? "0"}`,
  ];
}

/**
 * Makes the place, and returns its path without links: ours, nobody else can write to it, and only root and this
 * user can exchange a directory above it, so that what is compared there and what is loaded is one file. Throws
 * a sentence.
 */
function openPlace(named: string): string {
  const place = makePlace(named);
  refuseForeignPlace(place);
  refuseOpenPlace(place);
  return place;
}

function holds(path: string, bytes: Uint8Array): boolean {
  try {
    const there = Deno.lstatSync(path);
    if (!there.isFile || there.uid !== Deno.uid() || there.size !== bytes.length) return false;
    return sha256(Deno.readFileSync(path)) === sha256(bytes);
  } catch {
    return false;
  }
}

/** In one step: a program that starts at the same time sees nothing or all of it. */
function write(path: string, bytes: Uint8Array): void {
  const unfinished = `${path}.${Deno.pid}`;
  try {
    Deno.writeFileSync(unfinished, bytes, { createNew: true, mode: 0o700 });
    Deno.renameSync(unfinished, path);
  } catch (error) {
    remove(unfinished);
    throw error;
  }
}

/** Those of versions before. A program that runs has its own loaded and needs the file no more. */
function removeOthers(place: string, own: string): void {
  for (const { name } of Deno.readDirSync(place)) {
    if (name !== own && /^shim-[0-9a-f]{24}$/.test(name)) remove(join(place, name));
  }
}

function remove(path: string): void {
  try {
    Deno.removeSync(path, { recursive: true });
  } catch {
    // Not there, or another process was quicker.
  }
}

function load(path: string): void {
  openLibrary(path).close();
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
