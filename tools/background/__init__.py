import segmodels  # noqa: F401  it refuses a Python without the packages
