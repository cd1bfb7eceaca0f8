"""Raw records to Parquet."""
