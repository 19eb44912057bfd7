//! Datasets, partitions and samplers for trustworthy-learning experiments, with procedural sets that need no download.
