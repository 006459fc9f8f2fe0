/** For authors of drivers: what every driver for a broker needs, beside the `Driver` interface of `@errand/core/ports`. */
export { defineOptions, option } from './driver-kit/options.ts'
export type { OptionRule, OptionRules, OptionTable, SettingsOf } from './driver-kit/options.ts'
export { decodeTicket, encodeTicket } from './driver-kit/ticket-text.ts'
export type { DecodedTicket } from './driver-kit/ticket-text.ts'
