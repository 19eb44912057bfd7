//! Self-contained HTML reports with SVG plots, claims first; the same tables as CSV and Markdown.
