import { styleText } from 'node:util'

/** The colours that the command uses, by what they mean. */
const styles = {
  good: 'green',
  bad: 'red',
  warn: 'yellow',
  busy: 'cyan',
  waiting: 'magenta',
  faint: 'dim',
  strong: 'bold',
} as const

export type Style = keyof typeof styles
export type Paint = (style: Style, text: string) => string

/** Colours for one stream, none if it is not a terminal. NO_COLOR, FORCE_COLOR and TERM count, as Node reads them. */
export function paintFor(stream: NodeJS.WritableStream): Paint {
  return (style, text) => styleText(styles[style], text, { stream })
}

const stateStyles: Readonly<Record<string, Style>> = {
  scheduled: 'warn',
  blocked: 'waiting',
  ready: 'strong',
  running: 'busy',
  suspended: 'waiting',
  succeeded: 'good',
  failed: 'bad',
  cancelled: 'faint',
}

export function paintState(paint: Paint, state: string): string {
  const style = stateStyles[state]
  return style ? paint(style, state) : state
}
