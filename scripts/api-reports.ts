// Writes what each entry of each package makes public, as types, to `api/`: a change of it is seen in review. Needs a build.
// `--check` only compares.
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { Extractor, ExtractorConfig } from '@microsoft/api-extractor'
import { listPackages, root } from './workspace.ts'
import { temporaryFolder } from './packing.ts'

const check = process.argv.includes('--check')
const reports = join(root, 'api')
const packages = listPackages()

/** The built types of each entry: packages are read as they are built, not by their sources. */
const paths = Object.fromEntries(
  packages.flatMap(({ name, folder, entries }) =>
    entries.map((entry) => [join(name, entry), [join(root, folder, 'dist', `${toFile(entry)}.d.ts`)]]),
  ),
)

/** `./ports` is `ports`, and `.` is `index`. */
function toFile(entry: string): string {
  return entry === '.' ? 'index' : entry.slice(2)
}

/** False if the report is another than the one that is committed. */
function writeReport(name: string, folder: string, entry: string, temporary: string): boolean {
  const report = `${[name.replace('@errand/', ''), ...(entry === '.' ? [] : [toFile(entry)])].join('.')}.api.md`
  const config = ExtractorConfig.prepare({
    configObjectFullPath: undefined,
    packageJsonFullPath: join(root, folder, 'package.json'),
    configObject: {
      projectFolder: join(root, folder),
      mainEntryPointFilePath: join(root, folder, 'dist', `${toFile(entry)}.d.ts`),
      compiler: {
        overrideTsconfig: {
          compilerOptions: {
            target: 'es2023',
            lib: ['es2024', 'esnext.disposable'],
            module: 'nodenext',
            moduleResolution: 'nodenext',
            types: ['node'],
            strict: true,
            skipLibCheck: true,
            // Of what a package only passes on, its report names the source.
            ...(name === 'errand' ? {} : { paths }),
          },
          files: [join(root, folder, 'dist', `${toFile(entry)}.d.ts`)],
        },
      },
      apiReport: {
        enabled: true,
        reportFileName: report,
        reportFolder: reports,
        reportTempFolder: temporary,
      },
      newlineKind: 'lf',
      docModel: { enabled: false },
      dtsRollup: { enabled: false },
      tsdocMetadata: { enabled: false },
      messages: {
        compilerMessageReporting: { default: { logLevel: 'none' as never } },
        extractorMessageReporting: { default: { logLevel: 'none' as never } },
        tsdocMessageReporting: { default: { logLevel: 'none' as never } },
      },
    },
  })
  const result = Extractor.invoke(config, {
    localBuild: !check,
    messageCallback: (message) => {
      message.handled = true
    },
  })
  return !check || !result.apiReportChanged
}

mkdirSync(reports, { recursive: true })
const temporary = temporaryFolder()
try {
  for (const { name, folder, entries } of packages) {
    for (const entry of entries) {
      if (writeReport(name, folder, entry, temporary)) continue
      console.error(`what ${join(name, entry)} exports is not what its report in api/ says: run pnpm api`)
      process.exitCode = 1
    }
  }
} finally {
  rmSync(temporary, { recursive: true, force: true })
}
