/** Prints the result. A function, because bundles of CommonJS cannot await at the top. */
export async function told(act: () => Promise<string>): Promise<void> {
  try {
    console.log(await act())
  } catch (error) {
    const { code, message } = error as Error & { readonly code?: string }
    console.log(`${code}: ${message}`)
  }
}
