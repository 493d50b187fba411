"""One module per chapter: its runs, its estimates, and beside it the registry of its claims.

Each module has `PRESETS`, `grid(settings)`, which gives the named sweeps of runs, and
`judge(results)`, which gives an estimate for every criterion of `STUDY.toml`.
"""
