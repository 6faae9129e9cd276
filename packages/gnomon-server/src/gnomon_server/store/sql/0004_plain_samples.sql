-- The columns that lightweight updates need: an eighth of the bytes of a sample, which is never updated. Parts lose them
-- when they are merged.

ALTER TABLE samples$local $on_cluster MODIFY SETTING enable_block_number_column = 0, enable_block_offset_column = 0;

ALTER TABLE native_histograms$local $on_cluster
    MODIFY SETTING enable_block_number_column = 0, enable_block_offset_column = 0;
