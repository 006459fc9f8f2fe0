#!/usr/bin/env node
import '@errand/cli/bin'
