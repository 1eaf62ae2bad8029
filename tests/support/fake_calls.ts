// SPDX-License-Identifier: Apache-2.0

/** The record of the calls that a fake plane got, and those that a test wants to fail. */
import type { Plane } from "../../ffi/plane.ts";
import { refuse } from "./fake_checks.ts";

/** One call as it was made. Keys in `args` print as `[key]`. */
export interface PlaneCall {
  readonly method: keyof Plane;
  readonly args: readonly unknown[];
  readonly failed: boolean;
}

interface Failure {
  readonly method: keyof Plane;
  readonly code: string;
  readonly pipe?: string;
  times: number;
}

export class FakeCalls {
  /** In order. */
  readonly made: PlaneCall[] = [];
  /** From here on every call is refused. */
  closed = false;
  readonly #failures: Failure[] = [];

  /** Makes the next `times` calls of a method fail (on one pipe, when named). */
  failNext(
    method: keyof Plane,
    options: { code?: string; pipe?: string; times?: number } = {},
  ): void {
    this.#failures.push({
      method,
      code: options.code ?? "EIO",
      times: options.times ?? 1,
      ...(options.pipe === undefined ? {} : { pipe: options.pipe }),
    });
  }

  /** Makes a call, unless the plane is closed or a test wants it to fail: `DataPlaneError`. */
  make<T>(
    method: keyof Plane,
    { args, pipe }: { readonly args: readonly unknown[]; readonly pipe: string | undefined },
    body: () => T,
  ): T {
    let failed = true;
    try {
      if (this.closed) {
        throw refuse(`Cannot call ${String(method)}`, "the plane is closed", "ECLOSED");
      }
      const failure = this.#failures.find((f) =>
        f.method === method && f.times > 0 && (f.pipe === undefined || f.pipe === pipe)
      );
      if (failure !== undefined) {
        failure.times--;
        throw refuse(`Cannot call ${String(method)}`, "the test wants it to fail", failure.code);
      }
      const result = body();
      failed = false;
      return result;
    } finally {
      this.made.push({ method, args, failed });
    }
  }

  /** Of the plane itself. */
  close(): void {
    if (!this.closed) this.made.push({ method: "close", args: [], failed: false });
    this.closed = true;
  }
}
