"""Figures from tables: what each says (`catalogue`), how it is drawn, and how it is laid out on a page or a slide."""
