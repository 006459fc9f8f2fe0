#!/usr/bin/env node
// All of it as one object, and no name of it: an older Node would refuse a name that it does not know before any line runs.
import module from 'node:module'
// For its effect: package.json must not say that the modules of this package have none, or the build leaves it out.
import './quiet-warnings.ts'

/** As package.json says in `engines`. */
const oldest = '22.18'

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
const [oldestMajor = 0, oldestMinor = 0] = oldest.split('.').map(Number)
if (major < oldestMajor || (major === oldestMajor && minor < oldestMinor)) {
  process.stderr.write(`errand needs Node ${oldest} or later, and this is ${process.versions.node}\n`)
  // What `exitCodes.project` is: nothing else can be loaded.
  process.exitCode = 5
} else {
  // A short command spends most of its time on compiling. Node caches what is compiled from here on.
  module.enableCompileCache()
  // Not a top-level await: the `errand` package imports this file, and its modules can be required.
  void import('./index.ts').then(({ main }) => main(process.argv.slice(2)))
}
