import { harmless, measureWidth, truncate } from './text.ts'

export interface Column<Row> {
  readonly title: string
  /** Plain text. The table makes it harmless, cuts it, and colours it last. */
  readonly value: (row: Row) => string | number | undefined
  readonly paint?: ((text: string, row: Row) => string) | undefined
  readonly align?: 'right' | undefined
  /** May be cut when the terminal is too narrow. */
  readonly flexible?: true | undefined
}

const gap = 2
const narrowest = 8

/**
 * Rows as lines, the header first. `width`: columns of the terminal, undefined for a pipe, where nothing is cut.
 */
export function table<Row>(
  columns: readonly Column<Row>[],
  rows: readonly Row[],
  options: { readonly width: number | undefined; readonly header: (text: string) => string },
): readonly string[] {
  const cells = rows.map((row) => columns.map((column) => harmless(String(column.value(row) ?? '–'))))
  const natural = columns.map((column, at) =>
    Math.max(measureWidth(column.title), ...cells.map((line) => measureWidth(line[at] ?? ''))),
  )
  const widths = fit(columns, natural, options.width)

  const header = columns.map((column, at) => pad(column.title, widths[at] ?? 0, column.align))
  const lines = rows.map((row, index) =>
    columns
      .map((column, at) => {
        const width = widths[at] ?? 0
        const text = truncate(cells[index]?.[at] ?? '', width)
        return pad(column.paint ? column.paint(text, row) : text, width, column.align)
      })
      .join(' '.repeat(gap))
      .trimEnd(),
  )
  return [options.header(header.join(' '.repeat(gap)).trimEnd()), ...lines]
}

/** Cuts the flexible columns, the widest first, until the table fits. */
function fit<Row>(
  columns: readonly Column<Row>[],
  natural: readonly number[],
  available: number | undefined,
): readonly number[] {
  const widths = [...natural]
  if (available === undefined) return widths
  let excess = widths.reduce((sum, width) => sum + width, gap * (columns.length - 1)) - available
  while (excess > 0) {
    const at = widest(columns, widths)
    if (at === undefined) break
    widths[at] = (widths[at] ?? 0) - 1
    excess -= 1
  }
  return widths
}

function widest<Row>(columns: readonly Column<Row>[], widths: readonly number[]): number | undefined {
  let found: number | undefined
  for (const [at, column] of columns.entries()) {
    const width = widths[at] ?? 0
    if (!column.flexible || width <= narrowest) continue
    if (found === undefined || width > (widths[found] ?? 0)) found = at
  }
  return found
}

function pad(text: string, width: number, align: 'right' | undefined): string {
  const space = ' '.repeat(Math.max(0, width - measureWidth(text)))
  return align === 'right' ? space + text : text + space
}
