"""Where the rows come from: bundled sets, generated ones, files; split and scaled."""
