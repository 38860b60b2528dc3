"""The study on one page: figures, tables, claims, SAEs and provenance in a single HTML file.

The page needs no server, no network and no other file: pictures, styles and the little script
for sorting and filtering are inside it. Templates are in `templates/`, styles and script in
`assets/`; the modules here turn a study's files into what the templates show. No torch.
"""
