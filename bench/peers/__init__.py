"""One pending approval, played with each library by the same steps: see `bench.double_resume`."""
