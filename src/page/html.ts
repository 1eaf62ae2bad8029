// SPDX-License-Identifier: Apache-2.0

/** Elements as tagged templates: no step of a build stands between what is written and what runs. */
import { html as tagged } from "htm/preact";
import type { ComponentChild, VNode } from "preact";

/** html`<p class=${name}>${text}</p>`: text is never markup. */
export const html = tagged as (strings: TemplateStringsArray, ...values: unknown[]) => VNode;

/** What may stand in an element. */
export type Child = ComponentChild;
