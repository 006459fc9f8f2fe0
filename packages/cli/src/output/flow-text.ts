import type { FlowInfo } from '@errand/core'

/** `3 of 10, 1 failed, 2 cancelled`. */
export function countsText({ ended, total, failed, cancelled }: FlowInfo, word = ''): string {
  return [
    `${ended.toLocaleString('en')} of ${total.toLocaleString('en')}${word}`,
    failed > 0 ? `${failed.toLocaleString('en')} failed` : undefined,
    cancelled > 0 ? `${cancelled.toLocaleString('en')} cancelled` : undefined,
  ]
    .filter((part) => part !== undefined)
    .join(', ')
}

/** Who asked for its end. */
export function cancelText({ cancelRequested }: FlowInfo): string | undefined {
  if (!cancelRequested) return undefined
  const { by, reason } = cancelRequested
  const why = reason === undefined ? '' : `: ${reason}`
  return `to be cancelled by ${by === 'flow' ? 'itself' : by}${why}`
}
