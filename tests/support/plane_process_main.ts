// SPDX-License-Identifier: Apache-2.0

/** The process that plane_process.ts starts: opens one plane, does what it is asked, and ends when nobody asks. */
import { DataPlane } from "../../ffi/data_plane.ts";
import { openLibrary } from "../../ffi/library.ts";
import { DataPlaneError, type Plane } from "../../ffi/plane.ts";
import {
  type Answer,
  type Ask,
  bare,
  keyed,
  messages,
  type PlaneProcessArgs,
  put,
} from "./plane_channel.ts";

const args: PlaneProcessArgs = JSON.parse(Deno.args[0] ?? "");
using asks = Deno.openSync(args.asks, { read: true });
using answers = Deno.openSync(args.answers, { write: true });
using reports = Deno.openSync(args.events, { write: true });
put(reports, "here");

/** The first answer says whether there is a plane. */
function open(): DataPlane | undefined {
  let plane: DataPlane | undefined;
  put(
    answers,
    answerTo(() => {
      plane = DataPlane.open(openLibrary(args.library), args.options);
      return plane.version();
    }),
  );
  return plane;
}

function answerTo(call: () => unknown): Answer {
  try {
    return { value: call() };
  } catch (error) {
    if (!(error instanceof DataPlaneError)) throw error;
    return { refused: error.message, code: error.code };
  }
}

function carryOut(plane: Plane, ask: Ask): void {
  if (ask.method === "generateSpis") {
    const keys: { wipe(): void }[] = [];
    put(
      answers,
      answerTo(() =>
        plane.generateSpis(ask.version, ask.n).map((key) => {
          keys.push(key.key);
          return bare(key);
        })
      ),
    );
    for (const key of keys) key.wipe();
    return;
  }
  if (ask.method === "setCrypto") {
    const key = keyed(ask.key);
    put(answers, answerTo(() => plane.setCrypto(ask.cryptoId, key)));
    key.key.wipe();
    return;
  }
  const method = plane[ask.method] as (...args: unknown[]) => unknown;
  put(answers, answerTo(() => method.apply(plane, [...ask.args])));
}

const plane = open();
if (plane !== undefined) {
  const reporting = (async () => {
    for await (const batch of plane.events()) put(reports, batch);
  })();
  for await (const ask of messages(asks)) carryOut(plane, ask as Ask);
  await plane.close();
  await reporting;
}
