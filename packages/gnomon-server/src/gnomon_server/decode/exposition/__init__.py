"""What Prometheus scrapes, bytes to Arrow: text 0.0.4 and 1.0, OpenMetrics 1.0, protobuf with native histograms."""
