"""Words of genres, for counting the texts that show their genre."""

GENRE_WORDS = {
    "Crime": r"murder|detective|police|crime|criminal|killer|investigat|suspect|gang|heist|robber|thief|prison",
    "Comedy": r"comed|hilari|funny|laugh|joke|prank|antics|mishap|zany|wacky|quirky|chaos|mayhem|misadventure",
    "Science Fiction": r"space|planet|alien|robot|future|earth|ship\b|galax|scientist|experiment|cyborg|machine",
    "Horror": r"haunt|ghost|evil|demon|terr|horror|killer|supernatural|sinister|deadly|curse|creature|dark|dead|murder",
    "Romance": r"\blove|romance|romantic|marri|wedding|heart|relationship|affair|couple|husband|wife|dating",
    "Documentary": r"documentary|docuseries|explores|interviews|footage|true story|real|history|journey|follows",
}
"""A pattern for the words of each genre.

They were chosen before the model was trained, so they measure it fairly.
"""
